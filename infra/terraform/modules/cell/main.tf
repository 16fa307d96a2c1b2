module "database" {
  source = "../postgres"

  name        = "${var.platform.installation}-${var.name}"
  vpc_id      = var.platform.vpc_id
  subnet_ids  = var.data_subnet_ids
  database    = var.database
  log_key_arn = var.platform.log_key_arn
  log_days    = var.platform.log_days
}

# One task: a cell is one node so far, and its store has one owner at a time.
module "node" {
  source = "../service"

  platform   = var.platform
  name       = var.name
  process    = var.process
  size       = var.size
  task_count = 1
  is_alone   = true

  reaches = {
    database = { security_group_id = module.database.security_group_id, port = module.database.port }
  }
}
