"""Task queues: pollers that wait for tasks, tasks that wait for pollers."""
