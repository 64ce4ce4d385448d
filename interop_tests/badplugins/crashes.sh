# Dies of a signal before its line.
kill -SEGV $$
