mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "perdure-test"
  cidr        = "10.9.0.0/16"
  zones       = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  log_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
}

run "each_zone_has_its_subnets_and_its_way_out" {
  assert {
    condition     = length(aws_subnet.public) == 3 && length(aws_subnet.private) == 3 && length(aws_subnet.data) == 3
    error_message = "A zone lacks a subnet."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "Losing a zone must not cut off the others."
  }

  assert {
    condition     = aws_subnet.data["eu-central-1c"].cidr_block == "10.9.160.0/20"
    error_message = "The address plan has changed, which would replace every subnet."
  }
}

run "one_gateway_serves_all_zones_where_that_is_enough" {
  variables {
    has_nat_per_zone = false
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.private) == 3
    error_message = "All zones must go out by the one gateway."
  }
}

run "one_zone_is_refused" {
  command = plan

  variables {
    zones = ["eu-central-1a"]
  }

  expect_failures = [var.zones]
}

run "a_small_block_is_refused" {
  command = plan

  variables {
    cidr = "10.9.0.0/20"
  }

  expect_failures = [var.cidr]
}
