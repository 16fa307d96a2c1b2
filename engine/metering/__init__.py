"""What the engine counts: a fact says that something billable happened, not what it costs."""
