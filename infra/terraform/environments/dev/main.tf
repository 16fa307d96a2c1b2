locals {
  environment = "dev"
  here        = local.regions[var.region]
}

# Small, cheap and gone again: one gateway, databases that scale down, nothing protected.
module "installation" {
  source = "../../modules/installation"

  name         = "perdure-${local.environment}-${local.here.label}"
  base_domain  = "${local.here.label}.${var.domain}"
  mail_from    = "perdure@${var.domain}"
  image        = var.image
  told         = var.told
  network      = merge(local.here.network, { has_nat_per_zone = false })
  cells        = local.here.cells
  is_protected = false

  frontend = { size = { cpu = 512, memory = 1024 }, task_count = 1, max = 2 }
  control_plane = {
    size = { cpu = 512, memory = 1024 }
    database = {
      instance_class = "db.serverless"
      instance_count = 1
      backup_days    = 1
      is_protected   = false
    }
  }
}
