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

variable "instance_class" {
  type        = string
  description = "Class of each instance; db.serverless scales between the units of capacity."
}

variable "instance_count" {
  type        = number
  default     = 2
  description = "One that writes, the others ready to take over."

  validation {
    condition     = var.instance_count >= 1 && var.instance_count <= 4
    error_message = "Give 1 to 4 instances."
  }
}

variable "capacity_units" {
  type        = object({ min = number, max = number })
  default     = { min = 0.5, max = 4 }
  description = "Bounds of db.serverless; a unit is about 2 GiB of memory."
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

variable "backup_days" {
  type        = number
  default     = 35
  description = "How far back the database can be restored to any second."
}

variable "is_protected" {
  type        = bool
  default     = true
  description = "Whether deleting is refused, and keeps a last copy once it is allowed."
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
