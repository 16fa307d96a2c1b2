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
  description = "What every process of the installation runs on. The collector takes its traces and metrics."

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.platform.image))
    error_message = "Name the image by its digest, NAME@sha256:…, so that every task runs the same."
  }

  validation {
    condition     = contains(["X86_64", "ARM64"], var.platform.architecture)
    error_message = "Fargate has X86_64 and ARM64."
  }
}

variable "name" {
  type        = string
  description = "Name of the service within its installation, which is its host name too."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*$", var.name))
    error_message = "The name of a service has small letters, digits and hyphens."
  }
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
  description = "What runs: verb and options of its command, environment, secrets by ARN, ports by name, and the address that tells its health."
}

variable "size" {
  type        = object({ cpu = number, memory = number })
  description = "Units of CPU and MiB of memory, in one of the pairs that Fargate has."
}

variable "task_count" {
  type        = number
  default     = 1
  description = "How many tasks run, at first where they are scaled."
}

variable "is_alone" {
  type        = bool
  description = "Whether the old task must have stopped before a new one starts."
}

variable "scaling" {
  type        = object({ max = number, cpu_percent = number })
  default     = null
  description = "Up to how many tasks, to keep the CPU at this percentage; null for a fixed count."
}

variable "target_groups" {
  type        = map(object({ arn = string, port = number }))
  default     = {}
  description = "Target groups that its tasks join, with their port."
}

variable "reaches" {
  type        = map(object({ security_group_id = string, port = number }))
  default     = {}
  description = "Groups that it connects to and at which port; they let it in."
}

variable "outside_ports" {
  type        = list(number)
  default     = [443]
  description = "Ports that it may connect to outside of the network."
}
