data "aws_region" "here" {}

locals {
  dns       = "${var.name}.internal"
  cell_port = jsondecode(file("${path.module}/processes.json")).cell.ports.wire

  # What the processes are is data, which a test compares with the settings that they read. What
  # differs from one installation to another is filled in here, for each cell anew.
  facts = {
    base_domain   = var.base_domain
    mail_from     = var.mail_from
    control_plane = "control-plane.${local.dns}"
    cell_map = join(",", [
      for name in sort(keys(var.cells)) :
      "${name}=${data.aws_region.here.name}@${name}.${local.dns}:${local.cell_port}"
    ])
  }
  told = {
    for name in concat(["frontend", "control-plane"], keys(var.cells)) :
    name => jsondecode(
      templatefile("${path.module}/processes.json", merge(local.facts, { cell = name }))
    )[contains(keys(var.cells), name) ? "cell" : name]
  }
  processes = {
    for role, process in local.told : role => merge(process, {
      # NAME, or NAME:KEY for one key of a secret that has several.
      secrets = {
        for variable, secret in process.secrets : variable => (
          strcontains(secret, ":")
          ? "${module.secrets.arns[split(":", secret)[0]]}:${split(":", secret)[1]}::"
          : module.secrets.arns[secret]
        )
      }
    })
  }

  platform = {
    installation     = var.name
    image            = var.image
    collector        = { image = var.collector_image, configuration = module.observability.collector }
    architecture     = var.architecture
    cluster          = { arn = aws_ecs_cluster.this.arn, name = aws_ecs_cluster.this.name }
    vpc_id           = module.network.vpc_id
    subnet_ids       = module.network.private_subnet_ids
    namespace_id     = aws_service_discovery_private_dns_namespace.this.id
    secrets_key_arns = [module.secrets.key_arn]
    log_key_arn      = module.observability.log_key_arn
    log_days         = var.log_days
  }

  databases = merge(
    { control-plane = module.control_plane.database },
    { for name, cell in module.cell : name => cell.database },
  )
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = local.dns
  description = "Processes of ${var.name}"
  vpc         = module.network.vpc_id
}

module "network" {
  source = "../network"

  name             = var.name
  cidr             = var.network.cidr
  zones            = var.network.zones
  has_nat_per_zone = var.network.has_nat_per_zone
  log_key_arn      = module.observability.log_key_arn
  log_days         = var.log_days
}

module "secrets" {
  source = "../secrets"

  name          = var.name
  recovery_days = var.is_protected ? 30 : 0
  secrets = merge(
    jsondecode(file("${path.module}/secrets.json")),
    { for name in keys(var.cells) : "${name}-store" => "URL of the database of ${name}, with user and password" },
  )
}

module "cell" {
  source   = "../cell"
  for_each = var.cells

  name            = each.key
  platform        = local.platform
  process         = local.processes[each.key]
  size            = each.value.size
  database        = each.value.database
  data_subnet_ids = module.network.data_subnet_ids
}

module "control_plane" {
  source = "../control_plane"

  platform        = local.platform
  process         = local.processes["control-plane"]
  size            = var.control_plane.size
  database        = var.control_plane.database
  data_subnet_ids = module.network.data_subnet_ids

  reaches = {
    for name, cell in module.cell : name => {
      security_group_id = cell.security_group_id
      port              = local.cell_port
    }
  }
}

module "edge" {
  source = "../edge"

  platform          = local.platform
  process           = local.processes["frontend"]
  size              = var.frontend.size
  task_count        = var.frontend.task_count
  scaling           = { max = var.frontend.max, cpu_percent = var.frontend.cpu_percent }
  public_subnet_ids = module.network.public_subnet_ids
  allowed_cidrs     = var.allowed_cidrs
  is_protected      = var.is_protected

  private_connectivity = {
    principals = var.private_connectivity.principals
    domain     = var.private_connectivity.is_named ? "*.${var.base_domain}" : null
  }

  reaches = merge(
    {
      for name, cell in module.cell : name => {
        security_group_id = cell.security_group_id
        port              = local.cell_port
      }
    },
    {
      control-plane = {
        security_group_id = module.control_plane.security_group_id
        port              = local.processes["control-plane"].ports.wire
      }
    },
  )
}

module "dns" {
  source = "../dns"

  domain               = var.base_domain
  address              = module.edge.address
  has_private_domain   = var.private_connectivity.is_named
  private_domain_proof = [for proof in module.edge.private_domain_proof : { name = proof.name, value = proof.value }]
}

module "observability" {
  source = "../observability"

  name         = var.name
  cluster_name = aws_ecs_cluster.this.name
  databases    = { for name, database in local.databases : name => database.cluster_id }
  edge         = { load_balancer = module.edge.load_balancer, target_group = module.edge.target_group }
  told         = var.told

  services = merge(
    { frontend = { name = module.edge.name, process = "frontend", task_count = var.frontend.task_count } },
    { control-plane = { name = module.control_plane.name, process = "control-plane", task_count = 1 } },
    { for name, cell in module.cell : name => { name = cell.name, process = "cell", task_count = 1 } },
  )
}
