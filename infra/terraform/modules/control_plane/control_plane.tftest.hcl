mock_provider "aws" {
  source = "../../mocks"
}

variables {
  size            = { cpu = 1024, memory = 2048 }
  database        = { instance_class = "db.r7g.large" }
  data_subnet_ids = ["subnet-3", "subnet-4"]
  reaches         = { cell-1 = { security_group_id = "sg-9", port = 8235 } }

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
    verb        = "control-plane"
    options     = { "--data" = "/data" }
    environment = {}
    secrets     = { PERDURE_STORE = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:store-AbCdEf" }
    ports       = { wire = 8236 }
    probe       = "tcp://127.0.0.1:8236"
  }
}

run "the_control_plane_has_a_database_of_its_own" {
  assert {
    condition     = output.name == "control-plane" && output.database.cluster_id == "perdure-test-control"
    error_message = "The control plane must not share the database of a cell."
  }
}
