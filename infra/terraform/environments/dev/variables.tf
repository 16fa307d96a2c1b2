variable "region" {
  type        = string
  description = "One of the regions below. Each has a state of its own."

  validation {
    condition     = contains(keys(local.regions), var.region)
    error_message = "Name a region of regions.tf, or add one there."
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

variable "domain" {
  type        = string
  description = "Domain of the environment; a region's base domain is below it."
}

variable "told" {
  type        = list(string)
  default     = []
  description = "E-mail addresses that alarms go to."
}
