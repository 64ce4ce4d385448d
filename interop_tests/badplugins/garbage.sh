# Prints what a terminal would obey.
printf '\033[2Jhi\000\377\n'
exec sleep 60
