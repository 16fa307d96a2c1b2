mock_provider "aws" {
  source = "../../mocks"
}

variables {
  region = "eu-central-1"
  image  = "registry.example.com/perdure@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  domain = "cloud.example.com"
}

run "it_can_be_planned" {
  command = plan
}

run "it_can_be_raised" {
  assert {
    condition     = contains(keys(output.databases), "cell-1")
    error_message = "There is no cell."
  }
}

run "a_region_that_it_does_not_have_is_refused" {
  command = plan

  variables {
    region = "antarctica-1"
  }

  expect_failures = [var.region]
}
