module "database" {
  source = "../postgres"

  name        = "${var.platform.installation}-control"
  vpc_id      = var.platform.vpc_id
  subnet_ids  = var.data_subnet_ids
  database    = var.database
  log_key_arn = var.platform.log_key_arn
  log_days    = var.platform.log_days
}

# One task: frontends go on without it for hours, and a second one would do its upkeep twice over.
module "node" {
  source = "../service"

  platform      = var.platform
  name          = "control-plane"
  process       = var.process
  size          = var.size
  task_count    = 1
  is_alone      = true
  outside_ports = var.outside_ports

  reaches = merge(var.reaches, {
    database = { security_group_id = module.database.security_group_id, port = module.database.port }
  })
}
