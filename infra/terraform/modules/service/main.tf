locals {
  full_name = "${var.platform.installation}-${var.name}"

  # A data directory is made anew with each task: what has to outlast one is in the database.
  volumes = { data = "/data", tmp = "/tmp" }

  command = concat(
    [var.process.verb],
    flatten([for option, value in var.process.options : value == "" ? [option] : [option, value]]),
  )

  log = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = data.aws_region.here.name
      awslogs-stream-prefix = var.name
      mode                  = "non-blocking"
      max-buffer-size       = "16m"
    }
  }

  confined = {
    capabilities       = { add = [], drop = ["ALL"] }
    initProcessEnabled = true
  }
}

data "aws_region" "here" {}

data "aws_caller_identity" "here" {}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.platform.installation}/${var.name}"
  retention_in_days = var.platform.log_days
  kms_key_id        = var.platform.log_key_arn
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.full_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  execution_role_arn       = aws_iam_role.start.arn
  task_role_arn            = aws_iam_role.work.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.platform.architecture
  }

  dynamic "volume" {
    for_each = local.volumes

    content {
      name = volume.key
    }
  }

  container_definitions = jsonencode([
    {
      name                   = var.name
      image                  = var.platform.image
      essential              = true
      readonlyRootFilesystem = true
      linuxParameters        = local.confined
      command                = local.command
      environment            = [for name, value in var.process.environment : { name = name, value = value }]
      secrets                = [for name, arn in var.process.secrets : { name = name, valueFrom = arn }]
      portMappings = [
        for name, port in var.process.ports :
        { name = name, containerPort = port, hostPort = port, protocol = "tcp" }
      ]
      mountPoints = [
        for name, path in local.volumes : { sourceVolume = name, containerPath = path, readOnly = false }
      ]
      healthCheck = {
        command     = ["CMD", "/opt/perdure/bin/python", "/srv/perdure/probe.py", var.process.probe]
        interval    = 10
        timeout     = 5
        retries     = 6
        startPeriod = 60
      }
      ulimits          = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
      stopTimeout      = 60
      logConfiguration = local.log
      systemControls   = []
      volumesFrom      = []
    },
    {
      name                   = "collector"
      image                  = var.platform.collector.image
      essential              = false
      readonlyRootFilesystem = true
      linuxParameters        = local.confined
      environment = [
        { name = "AOT_CONFIG_CONTENT", value = var.platform.collector.configuration },
        { name = "PART", value = var.name },
        { name = "LOG_GROUP", value = aws_cloudwatch_log_group.this.name },
      ]
      portMappings     = []
      mountPoints      = []
      logConfiguration = local.log
      systemControls   = []
      volumesFrom      = []
    },
  ])
}

resource "aws_service_discovery_service" "this" {
  name          = var.name
  force_destroy = true

  dns_config {
    namespace_id   = var.platform.namespace_id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 5
    }
  }
}

resource "aws_ecs_service" "this" {
  name                   = var.name
  cluster                = var.platform.cluster.arn
  task_definition        = aws_ecs_task_definition.this.arn
  launch_type            = "FARGATE"
  platform_version       = "LATEST"
  desired_count          = var.task_count
  enable_execute_command = false
  propagate_tags         = "SERVICE"

  # A store has one owner at a time. A second one would take its shards away, not harm it, and the
  # two would take turns until the first one is gone.
  deployment_minimum_healthy_percent = var.is_alone ? 0 : 100
  deployment_maximum_percent         = var.is_alone ? 100 : 200
  health_check_grace_period_seconds  = length(var.target_groups) > 0 ? 120 : null

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.platform.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.this.arn
  }

  dynamic "load_balancer" {
    for_each = var.target_groups

    content {
      target_group_arn = load_balancer.value.arn
      container_name   = var.name
      container_port   = load_balancer.value.port
    }
  }

  lifecycle {
    # Scaling changes it; what does not scale keeps the count that it was made with.
    ignore_changes = [desired_count]
  }
}

resource "aws_security_group" "this" {
  name        = local.full_name
  description = "Tasks of ${local.full_name}"
  vpc_id      = var.platform.vpc_id
}

# Images, secrets and logs are out there, identity providers, payment and mail for some.
resource "aws_vpc_security_group_egress_rule" "outside" {
  for_each = toset([for port in var.outside_ports : tostring(port)])

  security_group_id = aws_security_group.this.id
  description       = "AWS and the internet"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.key)
  to_port           = tonumber(each.key)
}

resource "aws_vpc_security_group_egress_rule" "reaches" {
  for_each = var.reaches

  security_group_id            = aws_security_group.this.id
  description                  = each.key
  referenced_security_group_id = each.value.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "reaches" {
  for_each = var.reaches

  security_group_id            = each.value.security_group_id
  description                  = local.full_name
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_appautoscaling_target" "this" {
  for_each = var.scaling == null ? {} : { tasks = var.scaling }

  service_namespace  = "ecs"
  resource_id        = "service/${var.platform.cluster.name}/${aws_ecs_service.this.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.task_count
  max_capacity       = each.value.max
}

resource "aws_appautoscaling_policy" "cpu" {
  for_each = aws_appautoscaling_target.this

  name               = "${local.full_name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = each.value.service_namespace
  resource_id        = each.value.resource_id
  scalable_dimension = each.value.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.scaling.cpu_percent
    scale_in_cooldown  = 300
    scale_out_cooldown = 60

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
