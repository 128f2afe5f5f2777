"""The report: a study, or several, as one HTML page that can be sent. Altair draws, Jinja fills in the templates.

Imported only where a report is made: these libraries take a second to load.
"""
