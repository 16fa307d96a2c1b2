mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "perdure-test"
  base_domain = "test.example.com"
  mail_from   = "perdure@example.com"
  image       = "registry.example.com/perdure@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  network     = { cidr = "10.9.0.0/16", zones = ["eu-central-1a", "eu-central-1b"] }
  frontend    = { size = { cpu = 512, memory = 1024 }, task_count = 2, max = 4 }

  control_plane = {
    size     = { cpu = 512, memory = 1024 }
    database = { instance_class = "db.serverless" }
  }

  cells = {
    cell-1 = { size = { cpu = 512, memory = 1024 }, database = { instance_class = "db.serverless" } }
    cell-2 = { size = { cpu = 512, memory = 1024 }, database = { instance_class = "db.serverless" } }
  }
}

run "each_cell_has_its_service_its_database_and_its_secret" {
  assert {
    condition     = toset(keys(output.databases)) == toset(["control-plane", "cell-1", "cell-2"])
    error_message = "A cell has no database of its own."
  }

  assert {
    condition     = contains(keys(output.secrets), "cell-1-store") && contains(keys(output.secrets), "cell-2-store")
    error_message = "A cell has no secret for its database's URL."
  }
}

run "an_installation_without_cells_is_refused" {
  command = plan

  variables {
    cells = {}
  }

  expect_failures = [var.cells]
}

run "an_image_by_tag_is_refused" {
  command = plan

  variables {
    image = "perdure:latest"
  }

  expect_failures = [var.image]
}
