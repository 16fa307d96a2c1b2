output "address" {
  description = "Host of the instance that writes."
  value       = aws_rds_cluster.this.endpoint
}

output "port" {
  description = "Its port."
  value       = local.port
}

output "database" {
  description = "Name of the database."
  value       = local.database
}

output "cluster_id" {
  description = "What metrics and the data interface know it by."
  value       = aws_rds_cluster.this.cluster_identifier
}

output "cluster_arn" {
  description = "What the data interface asks for."
  value       = aws_rds_cluster.this.arn
}

output "administrator_secret_arn" {
  description = "Secret that Aurora keeps the administrator's password in."
  value       = aws_rds_cluster.this.master_user_secret[0].secret_arn
}

output "security_group_id" {
  description = "Group that whoever connects is let into."
  value       = aws_security_group.this.id
}
