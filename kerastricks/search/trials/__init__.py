"""How trials are run: processes, jobs, the loop over them."""
