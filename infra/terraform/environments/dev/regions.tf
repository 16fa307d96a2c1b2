# A region is an installation of its own, with a control plane of its own: none of them can fall
# with another one.
locals {
  regions = {
    eu-central-1 = {
      label = "eu"
      network = {
        cidr  = "10.20.0.0/16"
        zones = ["eu-central-1a", "eu-central-1b"]
      }
      cells = {
        cell-1 = {
          size = { cpu = 1024, memory = 2048 }
          database = {
            instance_class = "db.serverless"
            instance_count = 1
            backup_days    = 1
            is_protected   = false
          }
        }
      }
    }
  }
}
