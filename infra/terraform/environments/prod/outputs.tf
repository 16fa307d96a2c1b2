output "name_servers" {
  description = "Where the parent domain delegates the base domain to."
  value       = module.installation.name_servers
}

output "endpoint_service" {
  description = "What a customer makes an endpoint to."
  value       = module.installation.endpoint_service
}

output "secrets" {
  description = "The secrets by name, for whoever puts values into them."
  value       = module.installation.secrets
}

output "databases" {
  description = "The databases by whose they are, for whoever makes their roles."
  value       = module.installation.databases
}

output "cluster" {
  description = "ECS cluster of the processes."
  value       = module.installation.cluster
}

output "services" {
  description = "ECS services of the processes."
  value       = module.installation.services
}
