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

variable "reaches" {
  type        = map(object({ security_group_id = string, port = number }))
  description = "The cells that it places namespaces in and collects usage of."
}

variable "outside_ports" {
  type        = list(number)
  default     = [443, 587]
  description = "Ports that it may connect to outside: identity providers and payment, and mail."
}
