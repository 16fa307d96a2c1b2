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
  type = object({
    verb        = string
    options     = map(string)
    environment = map(string)
    secrets     = map(string)
    ports       = map(number)
    probe       = string
  })
  description = "What runs, as modules/service takes it."
}

variable "size" {
  type        = object({ cpu = number, memory = number })
  description = "Units of CPU and MiB of memory of a task."
}

variable "public_subnet_ids" {
  type        = list(string)
  description = "Subnets of the load balancer."
}

variable "port" {
  type        = number
  default     = 443
  description = "Port that clients connect to."
}

variable "allowed_cidrs" {
  type        = list(string)
  default     = ["0.0.0.0/0"]
  description = "Who may connect; everybody, unless the installation is for some."
}

variable "task_count" {
  type        = number
  description = "How many frontends run at least."
}

variable "scaling" {
  type        = object({ max = number, cpu_percent = number })
  description = "Up to how many frontends run, to keep their CPU at this percentage."
}

variable "reaches" {
  type        = map(object({ security_group_id = string, port = number }))
  description = "The cells and the control plane, which frontends connect to."
}

variable "private_connectivity" {
  type = object({
    principals = list(string)
    domain     = optional(string)
  })
  default     = { principals = [] }
  description = "AWS principals whose networks may ask for an endpoint, and the domain that resolves to it there."
}

variable "is_protected" {
  type        = bool
  default     = true
  description = "Whether deleting the load balancer is refused."
}
