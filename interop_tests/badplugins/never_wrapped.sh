# Never prints a line; a shell and the program that it runs, as wrappers are.
sleep 60
exit 1
