-- The roles and databases of tosmooth and MLflow. Run at every start: what is there stays, passwords are set anew.
\getenv tosmooth_password TOSMOOTH_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['tosmooth', 'mlflow']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec
ALTER ROLE tosmooth PASSWORD :'tosmooth_password';
ALTER ROLE mlflow PASSWORD :'mlflow_password';

SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
FROM (VALUES ('tosmooth', 'tosmooth'), ('mlflow', 'mlflow'), ('mlflow_auth', 'mlflow')) AS wanted (name, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name)
\gexec
-- By default every role may connect to every database.
REVOKE CONNECT ON DATABASE postgres, tosmooth, mlflow, mlflow_auth FROM PUBLIC;
