// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>
#include <utility>

/// Schema files with the same rules as EVerest's (everest-docs/config.md §3 to §7), as far as they are tested here.
inline constexpr std::array schema_files{
    std::pair<std::string_view, std::string_view>{"config", R"(
$defs:
  map:
    type: object
    patternProperties: {'^[a-zA-Z_][a-zA-Z0-9_.-]*$': {type: [boolean, integer, number, string]}}
    additionalProperties: false
    default: {}
type: object
additionalProperties: false
properties:
  settings:
    type: object
    additionalProperties: false
    properties:
      configs_dir: {type: string}
      schemas_dir: {type: string}
      modules_dir: {type: string}
      interfaces_dir: {type: string}
      types_dir: {type: string}
      errors_dir: {type: string}
      www_dir: {type: string}
      logging_config_file: {type: string}
      mqtt_broker_socket_path: {type: string}
      mqtt_broker_host: {type: string}
      mqtt_broker_port: {type: integer}
      mqtt_everest_prefix: {type: string}
      mqtt_external_prefix: {type: string}
      telemetry_enabled: {type: boolean}
      validate_schema: {type: boolean}
      run_as_user: {type: string}
  active_modules:
    type: object
    default: {}
    additionalProperties: false
    patternProperties:
      '^[a-zA-Z_][a-zA-Z0-9_.-]*$':
        type: object
        required: [module]
        additionalProperties: false
        properties:
          module: {type: string, pattern: '^[a-zA-Z_][a-zA-Z0-9_-]*$'}
          standalone: {type: boolean}
          capabilities: {type: array, items: {type: string}}
          config_module: {$ref: '#/$defs/map'}
          config_implementation:
            type: object
            default: {}
            additionalProperties: false
            patternProperties: {'^[a-zA-Z_][a-zA-Z0-9_.-]*$': {$ref: '#/$defs/map'}}
          connections:
            type: object
            default: {}
            additionalProperties: false
            patternProperties:
              '^[a-zA-Z_][a-zA-Z0-9_.-]*$':
                type: array
                items:
                  type: object
                  required: [module_id, implementation_id]
                  additionalProperties: false
                  properties:
                    module_id: {type: string, pattern: '^[a-zA-Z_][a-zA-Z0-9_.-]*$'}
                    implementation_id: {type: string, pattern: '^[a-zA-Z_][a-zA-Z0-9_.-]*$'}
          mapping:
            type: object
            default: {}
            additionalProperties: false
            properties:
              module: {type: object, properties: {evse: {type: integer}, connector: {type: integer}}}
              implementations:
                type: object
                patternProperties:
                  '^[a-zA-Z_]': {type: object, required: [evse], properties: {evse: {type: integer}}}
          telemetry: {type: object, required: [id], properties: {id: {type: integer}}}
          access:
            type: object
            additionalProperties: false
            properties:
              config:
                type: object
                additionalProperties: false
                properties:
                  allow_global_read: {type: boolean}
                  allow_global_write: {type: boolean}
                  allow_set_read_only: {type: boolean}
                  modules: {type: object, patternProperties: {'^[a-zA-Z_]': {type: object}}}
  x-module-layout: {}
)"},
    std::pair<std::string_view, std::string_view>{"manifest", R"(
$defs:
  map:
    type: object
    default: {}
    additionalProperties: false
    patternProperties:
      '^[a-zA-Z_][a-zA-Z0-9_.-]*$':
        type: object
        required: [type, description]
        properties:
          type: {type: string, enum: [boolean, integer, number, string]}
          description: {type: string, minLength: 2}
          mutability: {type: string, enum: [ReadOnly, ReadWrite, WriteOnly], default: ReadOnly}
type: object
required: [description, metadata]
additionalProperties: false
properties:
  description: {type: string, minLength: 2}
  config: {$ref: '#/$defs/map'}
  provides:
    type: object
    minProperties: 1
    default: {}
    additionalProperties: false
    patternProperties:
      '^[a-zA-Z_][a-zA-Z0-9_.-]*$':
        type: object
        required: [description, interface]
        additionalProperties: false
        properties:
          description: {type: string, minLength: 2}
          interface: {type: string, pattern: '^[a-zA-Z_][a-zA-Z0-9_.-]*$', minLength: 3}
          config: {$ref: '#/$defs/map'}
  requires:
    type: object
    default: {}
    additionalProperties: false
    patternProperties:
      '^[a-zA-Z_][a-zA-Z0-9_.-]*$':
        type: object
        required: [interface]
        additionalProperties: false
        properties:
          interface: {type: string, pattern: '^[a-zA-Z_][a-zA-Z0-9_.-]*$'}
          min_connections: {type: integer, minimum: 0, default: 1}
          max_connections: {type: integer, minimum: 1, default: 1}
  metadata:
    type: object
    required: [license, authors]
    properties:
      license: {type: string, format: uri}
      authors: {type: array, minItems: 1, items: {type: string, minLength: 2}}
  enable_external_mqtt: {type: boolean, default: false}
)"},
    std::pair<std::string_view, std::string_view>{"interface", R"(
$defs:
  value:
    type: object
    required: [type, description]
    properties:
      type: {type: [string, array], items: {type: string}, uniqueItems: true}
      description: {type: string, minLength: 2}
type: object
required: [description]
additionalProperties: false
properties:
  description: {type: string, minLength: 2}
  vars:
    type: object
    default: {}
    additionalProperties: false
    patternProperties: {'^[a-zA-Z_][a-zA-Z0-9_.-]*$': {$ref: '#/$defs/value'}}
  cmds:
    type: object
    default: {}
    additionalProperties: false
    patternProperties:
      '^[a-zA-Z_][a-zA-Z0-9_.-]*$':
        type: object
        required: [description]
        additionalProperties: false
        properties:
          description: {type: string}
          arguments:
            type: object
            default: {}
            additionalProperties: false
            patternProperties: {'^[a-zA-Z_][a-zA-Z0-9_.-]*$': {$ref: '#/$defs/value'}}
          result: {$ref: '#/$defs/value', default: {type: 'null', description: This returns nothing}}
  errors:
    type: array
    default: []
    items:
      type: object
      required: [reference]
      additionalProperties: false
      properties:
        reference:
          anyOf:
            - {type: string, pattern: '^/errors/[a-z][a-zA-Z0-9_]*$'}
            - {type: string, pattern: '^/errors/[a-z][a-zA-Z0-9_]*#/[A-Z][A-Za-z0-9]*$'}
)"},
    std::pair<std::string_view, std::string_view>{"type", R"(
type: object
required: [description]
additionalProperties: false
properties:
  description: {type: string}
  types:
    type: object
    default: {}
    additionalProperties: false
    patternProperties:
      '^[a-zA-Z_][a-zA-Z0-9_.-]*$':
        allOf:
          - {$ref: 'http://json-schema.org/draft-07/schema#'}
          - {type: object, required: [type, description]}
)"},
    std::pair<std::string_view, std::string_view>{"error-declaration-list", R"(
type: object
required: [description]
additionalProperties: false
properties:
  description: {type: string, minLength: 2}
  errors:
    type: array
    default: []
    items:
      type: object
      required: [name, description]
      additionalProperties: false
      properties:
        name: {type: string, minLength: 2, pattern: '^[A-Z][A-Za-z0-9]*$'}
        description: {type: string, minLength: 2}
)"},
};
