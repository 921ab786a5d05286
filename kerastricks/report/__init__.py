"""The report of finished runs, report.html: its figures as types, its charts and its page."""
