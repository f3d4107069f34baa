"""The Django project: settings, addresses, checks; it knows all apps and no app knows it."""
