locals {
  environment = "prod"
  here        = local.regions[var.region]
}

module "installation" {
  source = "../../modules/installation"

  name        = "perdure-${local.environment}-${local.here.label}"
  base_domain = "${local.here.label}.${var.domain}"
  mail_from   = "perdure@${var.domain}"
  image       = var.image
  told        = var.told
  network     = local.here.network
  cells       = local.here.cells

  private_connectivity = { is_named = true }

  frontend = { size = { cpu = 2048, memory = 4096 }, task_count = 3, max = 12 }
  control_plane = {
    size     = { cpu = 1024, memory = 2048 }
    database = { instance_class = "db.r7g.large" }
  }
}
