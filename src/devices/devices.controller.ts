import { Body, Controller, Get, Patch, Query } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { DeviceView, viewDevice } from './device.view.js';
import { DeviceListQuery, DevicePage, queryOf, UpdateDeviceRequest, viewPage } from './devices.dto.js';
import { DevicesService } from './devices.service.js';

@ApiTags('devices')
@Controller('devices')
export class DevicesController {
  constructor(private readonly devices: DevicesService) {}

  @Get()
  @Allow(Permission.DevicesRead, { lists: 'device' })
  @ApiOkResponse({ type: DevicePage })
  async list(@Me() me: TenantPrincipal, @Query() query: DeviceListQuery): Promise<DevicePage> {
    return viewPage(await this.devices.list(me, queryOf(query)), viewDevice);
  }

  @Get(':id')
  @Allow(Permission.DevicesRead, { on: 'device' })
  @ApiOkResponse({ type: DeviceView })
  async show(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<DeviceView> {
    return viewDevice(await this.devices.show(me, id));
  }

  @Patch(':id')
  @Allow(Permission.DevicesUpdate, { on: 'device' })
  @ApiOkResponse({ type: DeviceView })
  async update(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: UpdateDeviceRequest): Promise<DeviceView> {
    return viewDevice(await this.devices.update(me, id, body));
  }
}
