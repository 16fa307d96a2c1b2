mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name     = "cell-1"
  size     = { cpu = 512, memory = 1024 }
  is_alone = true

  platform = {
    installation     = "perdure-test"
    image            = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/perdure@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    collector        = { image = "collector:1", configuration = "receivers: {}" }
    architecture     = "X86_64"
    cluster          = { arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/perdure-test", name = "perdure-test" }
    vpc_id           = "vpc-1"
    subnet_ids       = ["subnet-1"]
    namespace_id     = "ns-1"
    secrets_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/2"]
    log_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/1"
    log_days         = 365
  }

  process = {
    verb        = "cell"
    options     = { "--data" = "/data", "--quiet" = "" }
    environment = { PERDURE_OTLP_ENDPOINT = "http://127.0.0.1:4318" }
    secrets     = { PERDURE_STORE = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:store-AbCdEf:url::" }
    ports       = { wire = 8235 }
    probe       = "tcp://127.0.0.1:8235"
  }

  reaches = { database = { security_group_id = "sg-1", port = 5432 } }
}

run "a_task_runs_what_its_process_says" {
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].command == ["cell", "--data", "/data", "--quiet"]
    error_message = "Options without a value stand alone."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets[0].valueFrom == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:store-AbCdEf:url::"
    error_message = "One key of a secret is given, not all of it."
  }

  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.this.container_definitions) :
      container.readonlyRootFilesystem && container.linuxParameters.capabilities.drop == ["ALL"]
    ])
    error_message = "A container may do more than it needs."
  }

  assert {
    condition     = join(",", local.secret_arns) == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:store-AbCdEf"
    error_message = "Its role must read the secrets that it is given, and no others."
  }
}

run "what_is_alone_stops_before_it_starts_again" {
  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 0 && aws_ecs_service.this.deployment_maximum_percent == 100
    error_message = "Two owners of one store would run at once."
  }

  assert {
    condition     = length(aws_appautoscaling_target.this) == 0
    error_message = "What is alone must not be scaled."
  }
}

run "what_is_reached_lets_it_in" {
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.reaches["database"].security_group_id == "sg-1" &&
      aws_vpc_security_group_ingress_rule.reaches["database"].from_port == 5432
    )
    error_message = "A rule is missing at the other end."
  }
}

run "fronts_are_scaled_and_never_all_gone" {
  variables {
    name          = "frontend"
    is_alone      = false
    task_count    = 3
    scaling       = { max = 12, cpu_percent = 60 }
    target_groups = { tls = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/x/1", port = 8234 } }
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100
    error_message = "A deployment would take frontends away first."
  }

  assert {
    condition     = aws_appautoscaling_target.this["tasks"].min_capacity == 3 && aws_appautoscaling_target.this["tasks"].max_capacity == 12
    error_message = "The bounds of scaling are not what was asked for."
  }
}

run "an_image_by_tag_is_refused" {
  command = plan

  variables {
    platform = merge(var.platform, { image = "perdure:latest" })
  }

  expect_failures = [var.platform]
}
