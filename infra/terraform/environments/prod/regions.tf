# A region is an installation of its own, with a control plane of its own: none of them can fall
# with another one.
locals {
  regions = {
    eu-central-1 = {
      label = "eu"
      network = {
        cidr  = "10.30.0.0/16"
        zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
      }
      cells = {
        cell-1 = {
          size     = { cpu = 2048, memory = 8192 }
          database = { instance_class = "db.r7g.xlarge" }
        }
        cell-2 = {
          size     = { cpu = 2048, memory = 8192 }
          database = { instance_class = "db.r7g.xlarge" }
        }
      }
    }
    us-east-1 = {
      label = "us"
      network = {
        cidr  = "10.31.0.0/16"
        zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
      }
      cells = {
        cell-1 = {
          size     = { cpu = 2048, memory = 8192 }
          database = { instance_class = "db.r7g.xlarge" }
        }
      }
    }
  }
}
