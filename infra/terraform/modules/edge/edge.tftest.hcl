mock_provider "aws" {
  source = "../../mocks"
}

variables {
  size              = { cpu = 1024, memory = 2048 }
  task_count        = 3
  scaling           = { max = 12, cpu_percent = 60 }
  public_subnet_ids = ["subnet-5", "subnet-6"]
  reaches           = { cell-1 = { security_group_id = "sg-9", port = 8235 } }

  platform = {
    installation     = "perdure-test"
    image            = "registry.example.com/perdure@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    collector        = { image = "collector:1", configuration = "receivers: {}" }
    architecture     = "X86_64"
    cluster          = { arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/perdure-test", name = "perdure-test" }
    vpc_id           = "vpc-1"
    subnet_ids       = ["subnet-1", "subnet-2"]
    namespace_id     = "ns-1"
    secrets_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/2"]
    log_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/1"
    log_days         = 365
  }

  process = {
    verb        = "frontend"
    options     = { "--data" = "/data" }
    environment = {}
    secrets     = { PERDURE_SECRETS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:it-AbCdEf" }
    ports       = { http = 8233, tls = 8234 }
    probe       = "http://127.0.0.1:8233/healthz"
  }
}

run "tls_is_passed_on_as_it_comes" {
  assert {
    condition     = aws_lb_listener.tls.protocol == "TCP" && aws_lb_target_group.tls.protocol == "TCP"
    error_message = "Whoever ends TLS before the frontend takes the client certificates away."
  }

  assert {
    condition     = aws_lb_listener.tls.port == 443 && aws_lb_target_group.tls.port == 8234
    error_message = "Clients must reach the port that speaks TLS."
  }
}

run "a_front_that_is_not_ready_gets_no_connections" {
  assert {
    condition     = one(aws_lb_target_group.tls.health_check).path == "/readyz" && one(aws_lb_target_group.tls.health_check).port == "8233"
    error_message = "Readiness is told at /readyz of the plain port."
  }
}

run "private_connectivity_is_granted_not_taken" {
  assert {
    condition     = aws_vpc_endpoint_service.this.acceptance_required && length(aws_vpc_endpoint_service.this.allowed_principals) == 0
    error_message = "Nobody may connect privately without being let in."
  }
}
