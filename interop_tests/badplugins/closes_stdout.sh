# Closes its stdout and goes on living.
exec 1>&-
exec sleep 60
