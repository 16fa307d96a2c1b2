module "key" {
  source = "../key"

  name        = "${var.name}-secrets"
  description = "${var.name}: secrets of the installation"
}

# Containers without a version: a value in a resource would be a value in the state.
resource "aws_secretsmanager_secret" "this" {
  for_each = var.secrets

  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = module.key.arn
  recovery_window_in_days = var.recovery_days
}
