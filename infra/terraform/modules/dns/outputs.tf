output "name_servers" {
  description = "Where the parent domain delegates to."
  value       = aws_route53_zone.this.name_servers
}

output "zone_id" {
  description = "The zone, for whoever proves the domain to a certificate authority."
  value       = aws_route53_zone.this.zone_id
}
