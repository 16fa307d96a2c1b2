variable "name" {
  type        = string
  description = "Name of the installation: an environment in a region."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,21}$", var.name))
    error_message = "The name has small letters, digits and hyphens, at most 22: names of load balancers are short."
  }
}

variable "image" {
  type        = string
  description = "Image of the product, by its digest."

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest, NAME@sha256:…, so that every task runs the same."
  }
}

variable "collector_image" {
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.1"
  description = "Image of the AWS distribution of the OpenTelemetry collector."
}

variable "architecture" {
  type        = string
  default     = "X86_64"
  description = "What the image is built for: X86_64 or ARM64."
}

variable "base_domain" {
  type        = string
  description = "A namespace's host is NAMESPACE.ACCOUNT.BASE-DOMAIN, the console's is BASE-DOMAIN."
}

variable "network" {
  type = object({
    cidr             = string
    zones            = list(string)
    has_nat_per_zone = optional(bool, true)
  })
  description = "Addresses and zones, as modules/network takes them."
}

variable "frontend" {
  type = object({
    size        = object({ cpu = number, memory = number })
    task_count  = number
    max         = number
    cpu_percent = optional(number, 60)
  })
  description = "How large frontends are, and from how many to how many there are."
}

variable "control_plane" {
  type = object({
    size = object({ cpu = number, memory = number })
    database = object({
      instance_class = string
      instance_count = optional(number)
      capacity_units = optional(object({ min = number, max = number }))
      backup_days    = optional(number)
      is_protected   = optional(bool)
    })
  })
  description = "How large the control plane is, and its database."
}

variable "cells" {
  type = map(object({
    size = object({ cpu = number, memory = number })
    database = object({
      instance_class = string
      instance_count = optional(number)
      capacity_units = optional(object({ min = number, max = number }))
      backup_days    = optional(number)
      is_protected   = optional(bool)
    })
  }))
  description = "The cells by name, each with a database of its own."

  validation {
    condition     = length(var.cells) > 0 && alltrue([for name in keys(var.cells) : can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", name))])
    error_message = "Give a cell or more, with names of small letters, digits and hyphens, 2 to 22 of them."
  }
}

variable "private_connectivity" {
  type = object({
    principals = optional(list(string), [])
    is_named   = optional(bool, false)
  })
  default     = {}
  description = "AWS principals whose networks may ask for an endpoint, and whether the base domain resolves to it there."
}

variable "allowed_cidrs" {
  type        = list(string)
  default     = ["0.0.0.0/0"]
  description = "Who may connect."
}

variable "mail_from" {
  type        = string
  description = "Sender of letters."
}

variable "told" {
  type        = list(string)
  default     = []
  description = "E-mail addresses that alarms go to."
}

variable "is_protected" {
  type        = bool
  default     = true
  description = "Whether deleting the load balancer is refused and secrets can be had back."
}

variable "log_days" {
  type        = number
  default     = 365
  description = "How long logs are kept."
}
