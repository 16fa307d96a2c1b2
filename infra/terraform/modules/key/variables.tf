variable "name" {
  type        = string
  description = "Alias of the key."
}

variable "description" {
  type        = string
  description = "What it encrypts."
}

variable "statements" {
  type        = list(string)
  default     = []
  description = "Policies, in JSON, that let services of AWS use it."
}
