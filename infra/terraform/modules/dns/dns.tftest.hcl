mock_provider "aws" {
  source = "../../mocks"
}

variables {
  domain  = "eu.cloud.example.com"
  address = { name = "edge.elb.eu-central-1.amazonaws.com", zone_id = "Z1" }
}

run "every_host_of_the_domain_leads_to_the_edge" {
  assert {
    condition     = aws_route53_record.namespaces.name == "*.eu.cloud.example.com" && aws_route53_record.console.name == "eu.cloud.example.com"
    error_message = "Namespaces' hosts and the console's need a record."
  }

  assert {
    condition     = one(aws_route53_record.namespaces.alias).name == var.address.name
    error_message = "Hosts lead elsewhere."
  }

  assert {
    condition     = length(aws_route53_record.private_domain) == 0
    error_message = "There is nothing to prove."
  }
}

run "a_private_domain_is_proved" {
  variables {
    has_private_domain   = true
    private_domain_proof = [{ name = "_proof", value = "vpce:1" }]
  }

  assert {
    condition     = aws_route53_record.private_domain["proof"].name == "_proof.eu.cloud.example.com"
    error_message = "The proof stands in the wrong place."
  }
}

run "a_name_without_a_parent_is_refused" {
  command = plan

  variables {
    domain = "localhost"
  }

  expect_failures = [var.domain]
}
