"""Quality and latency of runs: from recordings through a session to a log, and from the log to figures."""
