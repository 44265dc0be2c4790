"""Where an application's code comes from: plain git and GitLab's REST API, each resolved to a commit."""
