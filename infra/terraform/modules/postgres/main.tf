locals {
  port     = 5432
  database = "perdure"
}

data "aws_partition" "here" {}

module "key" {
  source = "../key"

  name        = "${var.name}-data"
  description = "${var.name}: data and backups"
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

# Rules come from whoever connects: see modules/service.
resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "Database ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_rds_cluster_parameter_group" "this" {
  name        = var.name
  family      = "aurora-postgresql16"
  description = "${var.name}: connections by TLS alone, and a log of what is slow"

  parameter {
    name         = "rds.force_ssl"
    value        = "1"
    apply_method = "pending-reboot"
  }

  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # A statement's values are what tenants wrote: they do not belong in a log.
  parameter {
    name  = "log_parameter_max_length"
    value = "0"
  }

  parameter {
    name  = "log_parameter_max_length_on_error"
    value = "0"
  }
}

# The name that Aurora writes to, made here so that it has an end and a key.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/rds/cluster/${var.name}/postgresql"
  retention_in_days = var.log_days
  kms_key_id        = var.log_key_arn
}

resource "aws_rds_cluster" "this" {
  cluster_identifier = var.name
  engine             = "aurora-postgresql"
  engine_version     = var.engine_version
  database_name      = local.database
  port               = local.port

  # Aurora makes this password and keeps it, so nobody here ever has it. It is for administrators;
  # processes have roles of their own.
  master_username               = "administrator"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = module.key.arn
  enable_http_endpoint          = true

  iam_database_authentication_enabled = true
  storage_encrypted                   = true
  kms_key_id                          = module.key.arn

  db_subnet_group_name            = aws_db_subnet_group.this.name
  vpc_security_group_ids          = [aws_security_group.this.id]
  db_cluster_parameter_group_name = aws_rds_cluster_parameter_group.this.name

  backup_retention_period   = var.database.backup_days
  preferred_backup_window   = "02:00-03:00"
  copy_tags_to_snapshot     = true
  deletion_protection       = var.database.is_protected
  skip_final_snapshot       = !var.database.is_protected
  final_snapshot_identifier = var.database.is_protected ? "${var.name}-last" : null

  enabled_cloudwatch_logs_exports = ["postgresql"]

  dynamic "serverlessv2_scaling_configuration" {
    for_each = var.database.instance_class == "db.serverless" ? [var.database.capacity_units] : []

    content {
      min_capacity = serverlessv2_scaling_configuration.value.min
      max_capacity = serverlessv2_scaling_configuration.value.max
    }
  }

  depends_on = [aws_cloudwatch_log_group.this]

  lifecycle {
    # Minor releases are taken up by Aurora in its window.
    ignore_changes = [engine_version]
  }
}

resource "aws_rds_cluster_instance" "this" {
  for_each = toset([for number in range(1, var.database.instance_count + 1) : tostring(number)])

  identifier         = "${var.name}-${each.key}"
  cluster_identifier = aws_rds_cluster.this.id
  engine             = aws_rds_cluster.this.engine
  instance_class     = var.database.instance_class

  auto_minor_version_upgrade      = true
  performance_insights_enabled    = true
  performance_insights_kms_key_id = module.key.arn
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
}

data "aws_iam_policy_document" "monitoring_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "monitoring" {
  name               = "${var.name}-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring_trust.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
