output "arns" {
  description = "The secrets by name."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "key_arn" {
  description = "Key that whoever reads a secret must be allowed to decrypt with."
  value       = module.key.arn
}
