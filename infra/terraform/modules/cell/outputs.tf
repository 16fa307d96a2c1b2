output "name" {
  description = "Name of the ECS service, and of the host in the private DNS namespace."
  value       = module.node.name
}

output "security_group_id" {
  description = "Group that frontends and the control plane are let into."
  value       = module.node.security_group_id
}

output "database" {
  description = "Its database, for whoever puts its URL into the secret, and for alarms."
  value = {
    address                  = module.database.address
    database                 = module.database.database
    cluster_id               = module.database.cluster_id
    cluster_arn              = module.database.cluster_arn
    administrator_secret_arn = module.database.administrator_secret_arn
  }
}

output "log_group" {
  description = "Where its log is."
  value       = module.node.log_group
}
