"""Code of the user's own, the one thing of his that is executed, because a study or a trial names it by a reference
such as "my_package.models:make".

`collect` reads which files a reference reaches and runs none of them; `use` makes those files, and no others, known to
this process; `resolve` imports. What is collected is a small archive that travels with the trials and is kept.
"""

from tosmooth.trainables.user_code.archive import UserCode, differences
from tosmooth.trainables.user_code.collecting import collect
from tosmooth.trainables.user_code.finder import active_digest
from tosmooth.trainables.user_code.references import check_reference
from tosmooth.trainables.user_code.resolving import CodeError, in_user_code, resolve
from tosmooth.trainables.user_code.using import use

__all__ = [
    "CodeError",
    "UserCode",
    "active_digest",
    "check_reference",
    "collect",
    "differences",
    "in_user_code",
    "resolve",
    "use",
]
