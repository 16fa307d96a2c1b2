output "address" {
  description = "Name and zone of the load balancer, for DNS."
  value       = { name = aws_lb.this.dns_name, zone_id = aws_lb.this.zone_id }
}

output "load_balancer" {
  description = "What metrics know the load balancer by."
  value       = aws_lb.this.arn_suffix
}

output "target_group" {
  description = "What metrics know the frontends behind it by."
  value       = aws_lb_target_group.tls.arn_suffix
}

output "endpoint_service" {
  description = "What a customer makes an endpoint to."
  value       = aws_vpc_endpoint_service.this.service_name
}

output "private_domain_proof" {
  description = "TXT records that prove the domain of private connectivity."
  value       = aws_vpc_endpoint_service.this.private_dns_name_configuration
}

output "name" {
  description = "Name of the ECS service."
  value       = module.frontend.name
}

output "security_group_id" {
  description = "Group of the frontends, for whoever lets them in."
  value       = module.frontend.security_group_id
}

output "log_group" {
  description = "Where their log is."
  value       = module.frontend.log_group
}
