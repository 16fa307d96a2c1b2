output "name_servers" {
  description = "Where the parent domain delegates the base domain to."
  value       = module.dns.name_servers
}

output "endpoint_service" {
  description = "What a customer makes an endpoint to."
  value       = module.edge.endpoint_service
}

output "secrets" {
  description = "The secrets by name, for whoever puts values into them."
  value       = module.secrets.arns
}

output "databases" {
  description = "The databases by whose they are, for whoever makes their roles."
  value       = local.databases
}

output "cluster" {
  description = "ECS cluster of the processes."
  value       = aws_ecs_cluster.this.name
}

output "services" {
  description = "ECS services of the processes."
  value       = sort(concat([module.edge.name, module.control_plane.name], [for cell in module.cell : cell.name]))
}
