variable "name" {
  type        = string
  description = "Name of the cell, for ever: its database and its host are called by it."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", var.name))
    error_message = "The name of a cell has small letters, digits and hyphens, 2 to 22 of them."
  }
}

variable "platform" {
  type = object({
    installation     = string
    image            = string
    collector        = object({ image = string, configuration = string })
    architecture     = string
    cluster          = object({ arn = string, name = string })
    vpc_id           = string
    subnet_ids       = list(string)
    namespace_id     = string
    secrets_key_arns = list(string)
    log_key_arn      = string
    log_days         = number
  })
  description = "What every process of the installation runs on."
}

variable "process" {
  type        = any
  description = "What runs, as modules/service takes it."
}

variable "size" {
  type        = object({ cpu = number, memory = number })
  description = "Units of CPU and MiB of memory of a task."
}

variable "data_subnet_ids" {
  type        = list(string)
  description = "Subnets of the database."
}

variable "database" {
  type        = any
  description = "How large and how safe its database is, as modules/postgres takes it."
}
