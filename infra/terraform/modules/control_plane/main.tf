module "database" {
  source = "../postgres"

  name           = "${var.platform.installation}-control"
  vpc_id         = var.platform.vpc_id
  subnet_ids     = var.data_subnet_ids
  instance_class = var.database.instance_class
  instance_count = var.database.instance_count
  capacity_units = var.database.capacity_units
  backup_days    = var.database.backup_days
  is_protected   = var.database.is_protected
  log_key_arn    = var.platform.log_key_arn
  log_days       = var.platform.log_days
}

# One task: frontends go on without it for hours, and a second one would do its upkeep twice over.
module "node" {
  source = "../service"

  name          = "control-plane"
  process       = var.process
  size          = var.size
  task_count    = 1
  is_alone      = true
  outside_ports = var.outside_ports

  reaches = merge(var.reaches, {
    database = { security_group_id = module.database.security_group_id, port = module.database.port }
  })

  installation     = var.platform.installation
  image            = var.platform.image
  collector        = var.platform.collector
  architecture     = var.platform.architecture
  cluster          = var.platform.cluster
  vpc_id           = var.platform.vpc_id
  subnet_ids       = var.platform.subnet_ids
  namespace_id     = var.platform.namespace_id
  secrets_key_arns = var.platform.secrets_key_arns
  log_key_arn      = var.platform.log_key_arn
  log_days         = var.platform.log_days
}
