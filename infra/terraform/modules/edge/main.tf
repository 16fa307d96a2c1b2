# TCP is passed on as it comes. TLS is ended by the frontend, because the name in the handshake
# decides which client certificates are trusted, and a balancer knows one trust for all.
resource "aws_lb" "this" {
  name               = "${var.platform.installation}-edge"
  load_balancer_type = "network"
  internal           = false
  subnets            = var.public_subnet_ids
  security_groups    = [aws_security_group.this.id]

  enable_cross_zone_load_balancing                             = true
  enable_deletion_protection                                   = var.is_protected
  enforce_security_group_inbound_rules_on_private_link_traffic = "off"
}

resource "aws_security_group" "this" {
  name        = "${var.platform.installation}-edge"
  description = "Clients of ${var.platform.installation}"
  vpc_id      = var.platform.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = toset(var.allowed_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "Clients"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
}

# The plain port is for the health of targets alone: the balancer listens for nobody there.
resource "aws_vpc_security_group_egress_rule" "frontend" {
  for_each = var.process.ports

  security_group_id            = aws_security_group.this.id
  description                  = "Frontend, ${each.key}"
  referenced_security_group_id = module.frontend.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_vpc_security_group_ingress_rule" "frontend" {
  for_each = var.process.ports

  security_group_id            = module.frontend.security_group_id
  description                  = "Load balancer, ${each.key}"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_lb_target_group" "tls" {
  name        = "${var.platform.installation}-tls"
  vpc_id      = var.platform.vpc_id
  target_type = "ip"
  protocol    = "TCP"
  port        = var.process.ports.tls

  # Long polls are made again within seconds of a frontend's end; what else is open ends meanwhile.
  deregistration_delay   = 60
  connection_termination = true
  preserve_client_ip     = true

  health_check {
    protocol            = "HTTP"
    port                = var.process.ports.http
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "tls" {
  load_balancer_arn        = aws_lb.this.arn
  protocol                 = "TCP"
  port                     = var.port
  tcp_idle_timeout_seconds = 600

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.tls.arn
  }
}

module "frontend" {
  source = "../service"

  platform   = var.platform
  name       = "frontend"
  process    = var.process
  size       = var.size
  task_count = var.task_count
  scaling    = var.scaling
  is_alone   = false
  reaches    = var.reaches

  # A target group without a listener takes no tasks.
  target_groups = {
    tls = {
      arn  = aws_lb_listener.tls.default_action[0].target_group_arn
      port = var.process.ports.tls
    }
  }
}

# Customers' networks reach the same port without the internet, by an endpoint of theirs.
resource "aws_vpc_endpoint_service" "this" {
  network_load_balancer_arns = [aws_lb.this.arn]
  acceptance_required        = true
  allowed_principals         = var.private_connectivity.principals
  private_dns_name           = var.private_connectivity.domain

  tags = { Name = "${var.platform.installation}-edge" }
}
