mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name            = "cell-1"
  size            = { cpu = 1024, memory = 2048 }
  database        = { instance_class = "db.r7g.large" }
  data_subnet_ids = ["subnet-3", "subnet-4"]

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
    verb        = "cell"
    options     = { "--data" = "/data" }
    environment = {}
    secrets     = { PERDURE_STORE = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:store-AbCdEf" }
    ports       = { wire = 8235 }
    probe       = "tcp://127.0.0.1:8235"
  }
}

run "a_cell_is_one_node_with_a_database_of_its_own" {
  assert {
    condition     = output.name == "cell-1" && output.database.cluster_id == "perdure-test-cell-1"
    error_message = "A cell is called by its name everywhere."
  }

  assert {
    condition     = output.database.database == "perdure"
    error_message = "The database has another name than the documents say."
  }
}

run "a_name_that_is_no_host_is_refused" {
  command = plan

  variables {
    name = "A_1"
  }

  expect_failures = [var.name]
}
