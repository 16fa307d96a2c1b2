variable "name" {
  type        = string
  description = "Name of the database cluster."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,50}[a-z0-9]$", var.name))
    error_message = "The name has small letters, digits and hyphens, at most 52."
  }
}

variable "vpc_id" {
  type        = string
  description = "Network that it lies in."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets without a way out, in two zones or more."
}

variable "database" {
  type = object({
    instance_class = string
    instance_count = optional(number, 2)
    capacity_units = optional(object({ min = number, max = number }), { min = 0.5, max = 4 })
    backup_days    = optional(number, 35)
    is_protected   = optional(bool, true)
  })
  description = <<-EOT
    How large and how safe it is. One instance writes, the others are ready to take over; those of
    the class db.serverless scale between units of capacity, about 2 GiB of memory each. It can be
    restored to any second of the days of backup. Protected, deleting is refused, and keeps a last
    copy once it is allowed.
  EOT

  validation {
    condition     = var.database.instance_count >= 1 && var.database.instance_count <= 4
    error_message = "Give 1 to 4 instances."
  }
}

variable "engine_version" {
  type        = string
  default     = "16.6"
  description = "Release of Aurora PostgreSQL."

  validation {
    condition     = startswith(var.engine_version, "16.")
    error_message = "Perdure is tested with PostgreSQL 16."
  }
}

variable "log_days" {
  type        = number
  default     = 365
  description = "How long its log is kept."
}

variable "log_key_arn" {
  type        = string
  description = "Key that its log is encrypted with."
}
