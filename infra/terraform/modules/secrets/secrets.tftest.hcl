mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name    = "perdure-test"
  secrets = { installation = "Pepper and keys", cell-1-store = "URL" }
}

run "secrets_are_containers_under_a_key_of_ours" {
  assert {
    condition     = aws_secretsmanager_secret.this["installation"].name == "perdure-test/installation"
    error_message = "A secret is called after its installation."
  }

  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == module.key.arn])
    error_message = "A secret is under the account's default key."
  }
}

run "a_name_that_is_none_is_refused" {
  command = plan

  variables {
    secrets = { "Installation Keys" = "Pepper and keys" }
  }

  expect_failures = [var.secrets]
}

run "a_recovery_that_aws_does_not_have_is_refused" {
  command = plan

  variables {
    recovery_days = 3
  }

  expect_failures = [var.recovery_days]
}
