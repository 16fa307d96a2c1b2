mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name         = "perdure-test"
  cluster_name = "perdure-test"
  databases    = { control-plane = "perdure-test-control", cell-1 = "perdure-test-cell-1" }
  edge         = { load_balancer = "net/x/1", target_group = "targetgroup/x/1" }
  told         = ["operators@example.com"]

  services = {
    frontend = { name = "frontend", process = "frontend", task_count = 3 }
    cell-1   = { name = "cell-1", process = "cell", task_count = 1 }
  }
}

run "each_process_and_each_database_is_watched" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["tasks-missing-frontend"].threshold == 3 && aws_cloudwatch_metric_alarm.this["tasks-missing-cell-1"].threshold == 1
    error_message = "Somebody must be told when a task is missing."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-busy-cell-1"].dimensions["DBClusterIdentifier"] == "perdure-test-cell-1"
    error_message = "A database is not watched."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_actions) == 1])
    error_message = "An alarm goes to nobody."
  }
}

run "the_products_metrics_are_those_of_this_installation" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["commits-slow-cell-1"].namespace == "Perdure/perdure-test"
    error_message = "An alarm watches a namespace that nobody writes to."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["calls-failed-frontend"].dimensions == tomap({ part = "frontend", code = "500" })
    error_message = "An alarm watches dimensions that the collector does not write."
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "commits-slow-frontend")
    error_message = "A frontend commits nothing."
  }

  assert {
    condition     = strcontains(output.collector, "namespace: Perdure/perdure-test")
    error_message = "The collector writes where nobody reads."
  }
}

run "a_dashboard_shows_what_has_an_alarm" {
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == length(local.alarms)
    error_message = "An alarm has no widget."
  }
}
