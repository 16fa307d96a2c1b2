mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "perdure-test-logs"
  description = "Logs"
}

run "a_key_is_rotated_and_can_be_had_back" {
  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "What is encrypted would be lost at once, or read for ever."
  }

  assert {
    condition     = aws_kms_alias.this.name == "alias/perdure-test-logs"
    error_message = "A key is found by its alias."
  }
}
